/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * What json-c does not check, checked in one pass over the text before it:
 *
 *  - memory: three bytes of text, "{},", become a kilobyte of tree. 64 MiB of them would be 20 GB.
 *  - it takes NaN, Infinity and "1." for numbers, "TRUE" for a word, a comma too many, and control
 *    characters and overlong or surrogate UTF-8 in strings. We would write them back as they are,
 * and the next reader would refuse the whole document.
 *  - a key is a C string for it: "a.service\u0000x" would become "a.service", another unit's.
 *
 * So json-c needs none of its own flags. JSON_TOKENER_STRICT is not possible either: json-c 0.18
 * (Debian 13) then refuses every string with a byte above 127 on machines where char is signed, and
 * every document with an integer beyond 64 bits, where only the entry with it is invalid.
 */

#include <limits.h>

#include <json-c/json_tokener.h>

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

/* A number or a word ends at the end of the text, or where an array, an object or a pair goes on.
 */
static int check_end_of_value(struct scan *s, const char *reason)
{
	char c = peek(s, 0);

	return s->at == s->size || (c && strchr(",]} \t\r\n", c)) ? 0 : refuse(s, -EBADMSG, reason);
}

static int scan_word(struct scan *s)
{
	static const char *const words[] = { "true", "false", "null" };
	static const char reason[] = "a word that JSON does not have";

	for (size_t i = 0; i < ELEMENTSOF(words); i++) {
		size_t n = strlen(words[i]);

		if (s->size - s->at >= n && memcmp(s->text + s->at, words[i], n) == 0) {
			s->at += n;
			return check_end_of_value(s, reason);
		}
	}
	return refuse(s, -EBADMSG, reason);
}

/* Digits after the characters that are ahead of them. Does not move if there is none. */
static bool skip_digits(struct scan *s, size_t ahead)
{
	if (!is_digit(peek(s, ahead)))
		return false;
	for (s->at += ahead; is_digit(peek(s, 0)); s->at++)
		;
	return true;
}

static int scan_number(struct scan *s)
{
	static const char cut_off[] = "a number that is cut off";

	if (peek(s, 0) == '-')
		s->at++;
	if (peek(s, 0) == '0' && is_digit(peek(s, 1)))
		return refuse(s, -EBADMSG, "a number that begins with 0");
	if (!skip_digits(s, 0) || (peek(s, 0) == '.' && !skip_digits(s, 1)))
		return refuse(s, -EBADMSG, cut_off);
	if (peek(s, 0) == 'e' || peek(s, 0) == 'E') {
		bool sign = peek(s, 1) == '+' || peek(s, 1) == '-';

		if (!skip_digits(s, sign ? 2 : 1))
			return refuse(s, -EBADMSG, cut_off);
	}
	return check_end_of_value(s, "not a number");
}

static int scan_comma(struct scan *s)
{
	size_t i = s->at + 1;

	while (i < s->size && is_space(s->text[i]))
		i++;
	if (i < s->size && (s->text[i] == ']' || s->text[i] == '}'))
		return refuse(s, -EBADMSG, "a comma with nothing after it");
	return charge(s, COST_MEMBER);
}

static int scan_mark(struct scan *s)
{
	int r = 0;

	switch (peek(s, 0)) {
	case '{':
		r = scan_open(s, COST_OBJECT);
		break;
	case '[':
		r = scan_open(s, COST_ARRAY);
		break;
	case '}':
	case ']':
		if (s->depth-- == 0)
			r = refuse(s, -EBADMSG, "a bracket too many");
		break;
	case ',':
		r = scan_comma(s);
		break;
	case ':':
		r = charge(s, COST_MEMBER);
		break;
	case ' ':
	case '\t':
	case '\r':
	case '\n':
		break;
	default:
		return refuse(s, -EBADMSG, "a character that JSON does not have");
	}
	s->at++;
	return r;
}

static int scan_next(struct scan *s)
{
	char c = peek(s, 0);

	if (c == '"')
		return scan_string(s);
	if (c == '-' || is_digit(c))
		return scan_number(s);
	if (c == 't' || c == 'f' || c == 'n')
		return scan_word(s);
	return scan_mark(s);
}

int json_scan(const char *text, size_t size, const struct json_limits *limits,
	      const char **ret_reason, size_t *ret_position)
{
	struct scan s = { .text = text, .size = size, .limits = limits };
	int r = 0;

	while (r == 0 && s.at < s.size)
		r = scan_next(&s);
	if (r < 0) {
		*ret_reason = s.reason;
		*ret_position = s.at;
	}
	return r;
}

int json_parse_limited(const char *text, size_t size, const struct json_limits *limits,
		       struct json_object **ret, const char **ret_reason, size_t *ret_position)
{
	struct json_object *root = NULL;
	struct json_tokener *tokener;
	enum json_tokener_error error;
	size_t end;
	int r;

	r = size > INT_MAX ? -E2BIG : 0;
	*ret_reason = "larger than 2 GiB";
	*ret_position = 0;
	if (r == 0)
		r = json_scan(text, size, limits, ret_reason, ret_position);
	if (r < 0)
		return r;
	tokener = json_tokener_new_ex((int)limits->depth + 1);
	if (!tokener)
		return -ENOMEM;
	root = json_tokener_parse_ex(tokener, text, (int)size);
	error = json_tokener_get_error(tokener);
	end = json_tokener_get_parse_end(tokener);
	json_tokener_free(tokener);
	if (error == json_tokener_success && end == size) {
		*ret = root;
		return 0;
	}
	json_object_put(root);
	*ret_reason = error == json_tokener_continue ? "it ends too early" : "not JSON";
	*ret_position = end;
	return -EBADMSG;
}
