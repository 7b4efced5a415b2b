/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/vm/tools/spec.h"
#include "common/util.h"

#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x0020
#endif

static uint64_t parse_size(const char *text)
{
	char *end;
	uint64_t value = strtoull(text, &end, 0);

	switch (*end) {
	case 'g':
		value <<= 10;
		/* fallthrough */
	case 'm':
		value <<= 10;
		/* fallthrough */
	case 'k':
		value <<= 10;
		end++;
	}
	if (end == text || *end != '\0')
		errx(2, "not a size: %s", text);
	return value;
}

static unsigned parse_seals(const char *text)
{
	static const struct {
		const char *name;
		unsigned seal;
	} known[] = {
		{ "seal", F_SEAL_SEAL }, { "shrink", F_SEAL_SHRINK },
		{ "grow", F_SEAL_GROW }, { "write", F_SEAL_WRITE },
		{ "exec", F_SEAL_EXEC }, { "future", F_SEAL_FUTURE_WRITE },
	};
	_cleanup_free_ char *copy = strdup(text);
	unsigned seals = 0;

	for (char *at = copy, *word; (word = strsep(&at, "+"));) {
		size_t i;

		for (i = 0; i < ELEMENTSOF(known) && !streq(known[i].name, word); i++)
			;
		if (i == ELEMENTSOF(known))
			errx(2, "not a seal: %s", word);
		seals |= known[i].seal;
	}
	return seals;
}

static void parse_owner(struct spec *spec, const char *text)
{
	if (sscanf(text, "%u:%u", &spec->uid, &spec->gid) != 2)
		errx(2, "not UID:GID: %s", text);
	spec->have_owner = true;
}

static void parse_option(struct spec *spec, const char *word)
{
	if (startswith(word, "seals="))
		spec->seals = parse_seals(word + 6);
	else if (startswith(word, "offset="))
		spec->offset = strtoll(word + 7, NULL, 0);
	else if (startswith(word, "mode=")) {
		spec->mode = (mode_t)strtoul(word + 5, NULL, 8);
		spec->have_mode = true;
	} else if (startswith(word, "owner="))
		parse_owner(spec, word + 6);
	else if (startswith(word, "content="))
		snprintf(spec->other, sizeof(spec->other), "%s", word + 8);
	else if (streq(word, "append"))
		spec->append = true;
	else if (streq(word, "ro"))
		spec->ro = true;
	else if (streq(word, "sparse"))
		spec->sparse = true;
	else if (streq(word, "noexec"))
		spec->noexec = true;
	else if (streq(word, "tmpfs"))
		spec->tmpfs = true;
	else if (streq(word, "session"))
		spec->session = true;
	else
		errx(2, "unknown option: %s", word);
}

static void parse_line(char *line, struct spec *spec)
{
	char *name = strtok(line, " \t"), *what = strtok(NULL, " \t");

	*spec = (struct spec){ .offset = -1 };
	if (!name || !what)
		errx(2, "a line needs a name and a size");
	snprintf(spec->name, sizeof(spec->name), "%s", name);
	if (what[0] == '=') {
		spec->kind = SPEC_SAME;
		snprintf(spec->other, sizeof(spec->other), "%s", what + 1);
	} else if (what[0] == '!') {
		spec->kind = SPEC_LOST;
		snprintf(spec->lost, sizeof(spec->lost), "%s", what + 1);
	} else
		spec->size = parse_size(what);
	for (char *word; (word = strtok(NULL, " \t"));)
		parse_option(spec, word);
}

/* In a name '#' is a character like any other. */
static void cut_comment(char *line)
{
	for (char *p = line; (p = strchr(p, '#')); p++)
		if (p == line || p[-1] == ' ' || p[-1] == '\t') {
			*p = '\0';
			return;
		}
}

void spec_read(const char *path, struct spec_list *ret)
{
	FILE *file = streq(path, "-") ? stdin : fopen(path, "re");
	_cleanup_free_ char *line = NULL;
	size_t size = 0;

	if (!file)
		err(2, "cannot open %s", path);
	*ret = (struct spec_list){};
	while (getline(&line, &size, file) > 0) {
		line[strcspn(line, "\n")] = '\0';
		cut_comment(line);
		if (line[strspn(line, " \t")] == '\0')
			continue;
		ret->specs = reallocarray(ret->specs, ret->n + 1, sizeof(*ret->specs));
		if (!ret->specs)
			err(2, "no memory");
		parse_line(line, &ret->specs[ret->n++]);
	}
	if (file != stdin)
		fclose(file);
}

struct spec *spec_find(const struct spec_list *list, const char *name)
{
	for (size_t i = 0; i < list->n; i++)
		if (streq(list->specs[i].name, name))
			return &list->specs[i];
	errx(2, "no entry %s in the list", name);
}
