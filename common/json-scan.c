/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What json-c does not check, checked in one pass over the text before it:
 *
 *  - memory: three bytes of text, "{},", become a kilobyte of tree. 64 MiB of them would be 20 GB.
 *  - it takes NaN, Infinity and "1." for numbers, and control characters and overlong or surrogate
 *    UTF-8 in strings. We would write them back as they are, and the next reader would refuse the
 *    whole document.
 *  - a key is a C string for it: "a.service\u0000x" would become "a.service", another unit's.
 */

#include "common/json-scan.h"
#include "common/json-writer.h"
#include "common/util.h"

/* Measured with json-c 0.16 on a 64-bit machine, rounded up. */
#define COST_OBJECT 1024
#define COST_ARRAY  512
#define COST_MEMBER 96

struct scan {
	const char *text;
	size_t size;
	size_t at;
	unsigned depth;
	size_t memory;
	const struct json_limits *limits;
	const char *reason;
};

static int refuse(struct scan *s, int r, const char *reason)
{
	s->reason = reason;
	return r;
}

static char peek(const struct scan *s, size_t ahead)
{
	return ahead < s->size - s->at ? s->text[s->at + ahead] : '\0';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static int charge(struct scan *s, size_t cost)
{
	s->memory += cost;
	if (s->memory > s->limits->memory)
		return refuse(s, -E2BIG, "it would take too much memory");
	return 0;
}

/* Whether the string that has just ended is a key. */
static bool key_ends_here(const struct scan *s)
{
	size_t i = s->at;

	while (i < s->size && is_space(s->text[i]))
		i++;
	return i < s->size && s->text[i] == ':';
}

/* From the quote to behind the closing one. */
static int scan_string(struct scan *s)
{
	bool nul = false;

	for (s->at++; s->at < s->size;) {
		char c = s->text[s->at];
		size_t n = utf8_sequence(s->text + s->at, s->size - s->at);

		if (n == 0)
			return refuse(s, -EBADMSG, "not UTF-8");
		if ((unsigned char)c < ' ')
			return refuse(s, -EBADMSG, "a control character in a string");
		if (c == '\\') {
			nul |= s->size - s->at >= 6 && memcmp(s->text + s->at, "\\u0000", 6) == 0;
			n = 2;
		}
		s->at += n;
		if (c != '"')
			continue;
		return nul && key_ends_here(s) ? refuse(s, -EBADMSG, "a key with a NUL in it") : 0;
	}
	return refuse(s, -EBADMSG, "a string without an end");
}

static int scan_open(struct scan *s, size_t cost)
{
	if (++s->depth > s->limits->depth)
		return refuse(s, -E2BIG, "nested too deep");
	return charge(s, cost);
}

/* A fraction or an exponent without digits. What json-c checks by itself is not looked at. */
static bool number_is_cut_off(const struct scan *s)
{
	char next = peek(s, 1);

	if (peek(s, 0) == '.')
		return !is_digit(next);
	if (s->at == 0 || !(is_digit(s->text[s->at - 1]) || s->text[s->at - 1] == '.'))
		return false; /* the e of true */
	if (next == '+' || next == '-')
		next = peek(s, 2);
	return !is_digit(next);
}

static int scan_other(struct scan *s)
{
	char c = peek(s, 0);
	int r = 0;

	if (!c || !strchr("{}[],: \t\r\n-+.0123456789eEtrufalsn", c))
		return refuse(s, -EBADMSG, "a character that JSON does not have");
	if (c == '{')
		r = scan_open(s, COST_OBJECT);
	else if (c == '[')
		r = scan_open(s, COST_ARRAY);
	else if ((c == '}' || c == ']') && s->depth-- == 0)
		r = refuse(s, -EBADMSG, "a bracket too many");
	else if (c == ',' || c == ':')
		r = charge(s, COST_MEMBER);
	else if ((c == '.' || c == 'e' || c == 'E') && number_is_cut_off(s))
		r = refuse(s, -EBADMSG, "a number that is cut off");
	s->at++;
	return r;
}

int json_scan(const char *text, size_t size, const struct json_limits *limits,
	      const char **ret_reason, size_t *ret_position)
{
	struct scan s = { .text = text, .size = size, .limits = limits };
	int r = 0;

	while (r == 0 && s.at < s.size)
		r = s.text[s.at] == '"' ? scan_string(&s) : scan_other(&s);
	if (r < 0) {
		*ret_reason = s.reason;
		*ret_position = s.at;
	}
	return r;
}
