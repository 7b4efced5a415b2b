/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOCTL_LUOCTL_H
#define LUOCTL_LUOCTL_H

/* What every verb has to do with: how it is called, how it ends, how it says what went wrong. */

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <json-c/json_object.h>

#include <luo/client.h>

/* In luoctl(1), and so in scripts. */
enum {
	LUOCTL_OK = 0,
	LUOCTL_FAILED = 1,
	LUOCTL_USAGE = 2,
	LUOCTL_NO_LUOD = 3,
	LUOCTL_NO_SUCH = 4,
	LUOCTL_NOT_PERMITTED = 5,
	LUOCTL_NOT_READY = 6,
};

struct verb;

struct context {
	const struct verb *verb;
	bool json;
	bool legend;
	const char *socket; /* NULL: the usual */
	uint64_t timeout_usec;
	struct luo_client *client; /* NULL until the first call */
};

struct verb {
	const char *name;
	const char *arguments;
	const char *help;    /* one line, begins with a small letter */
	const char *options; /* lines for `luoctl help VERB`, or NULL */
	/* argv[0] is for messages, the rest as on the command line; an exit code */
	int (*run)(struct context *context, int argc, char **argv);
	const char
		*ways; /* lines for `luoctl help VERB`: what its first argument may be, or NULL */
};

/* The verbs; the list ends with one without a name. */
extern const struct verb verbs[];
const struct verb *find_verb(const char *name);

int verb_status(struct context *context, int argc, char **argv);
int verb_list(struct context *context, int argc, char **argv);
int verb_show(struct context *context, int argc, char **argv);
int verb_dump(struct context *context, int argc, char **argv);
int verb_store(struct context *context, int argc, char **argv);
int verb_claim(struct context *context, int argc, char **argv);
int verb_drop(struct context *context, int argc, char **argv);
int verb_heap(struct context *context, int argc, char **argv);
int verb_mapping(struct context *context, int argc, char **argv);
int verb_check(struct context *context, int argc, char **argv);
int verb_harvest(struct context *context, int argc, char **argv);
int verb_preserve(struct context *context, int argc, char **argv);
int verb_commit(struct context *context, int argc, char **argv);
int verb_abort(struct context *context, int argc, char **argv);
int verb_kexec(struct context *context, int argc, char **argv);
int verb_enable(struct context *context, int argc, char **argv);
int verb_disable(struct context *context, int argc, char **argv);
int verb_monitor(struct context *context, int argc, char **argv);
int verb_help(struct context *context, int argc, char **argv);

/* ---- options --------------------------------------------------------------------------------- */

/* Values of options of a verb begin here. */
#define OPTION_VERB 1000

/*
 * getopt_long(3) for the options of a verb (@own ends with zeroes, may be NULL) and those that all
 * have. Gives the value of one of its own, or -1 at the end; otherwise, if it is not negative,
 * *ret_exit is what to exit with.
 */
int next_option(struct context *context, int argc, char **argv, const struct option *own,
		int *ret_exit);

/* The options before the verb; returns as next_option() does, with optind at the verb. */
int global_options(struct context *context, int argc, char **argv, int *ret_exit);

/* True if what is left are from @min to @max arguments; otherwise it has said so. */
bool count_arguments(const struct context *context, int argc, int min, int max);

/* A number, or it has said what is wrong with it. */
bool parse_number(const char *option, const char *text, uint64_t max, uint64_t *ret);

void print_help(void);
void print_verb_help(const struct verb *verb);

/* "luoctl: ..." and a line feed, to stderr. */
void complain(const char *format, ...) __attribute__((__format__(__printf__, 1, 2)));
/* The same, with a pointer to the help. LUOCTL_USAGE. */
int usage_error(const struct context *context, const char *format, ...)
	__attribute__((__format__(__printf__, 2, 3)));

/* ---- luod ------------------------------------------------------------------------------------ */

/*
 * One call. Takes ownership of @parameters; NULL or incomplete ones (common/json.h) are out of
 * memory, because without a member the call could mean something else. @what completes the sentence
 * "luoctl: cannot ...". Returns LUOCTL_OK, or the exit code after it has said what is wrong.
 */
int ask(struct context *context, const char *what, const char *method,
	struct json_object *parameters, struct json_object **ret_reply);

/* The same for a method that is called without parameters. */
int ask_plain(struct context *context, const char *what, const char *method,
	      struct json_object **ret_reply);

/* As ask(), with NULL for a reply if luod does not know the unit. */
int ask_or_null(struct context *context, const char *what, const char *method,
		struct json_object *parameters, struct json_object **ret_reply);

/* Connects if that has not been done. LUOCTL_OK, or the exit code after it has said why not. */
int connect_to_luod(struct context *context);

/* Says that something could not be done, and why; the exit code that goes with it. */
int explain(const struct context *context, const char *what, int error);

#endif
