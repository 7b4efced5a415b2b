/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include <stdio.h>

#include "tools/luoctl/luoctl.h"
#include "common/util.h"

const struct verb verbs[] = {
	{ "status", "", "how luod is, and what it holds", NULL, verb_status },
	{ "list", "[UNIT]", "the fds of all units, or of one",
	  "  --state STATE     only those that are stored, held or lost\n"
	  "  --units           the units instead of their fds\n",
	  verb_list },
	{ "show", "UNIT", "everything about a unit and its fds", NULL, verb_show },
	{ "dump", "UNIT NAME", "the content of an fd",
	  "  --nth N           which of several of that name, from 0\n"
	  "  --to FILE         write it to a file\n",
	  verb_dump },
	{ "store", "UNIT NAME [FILE|-]", "keep a file for a unit's next start", NULL, verb_store },
	{ "claim", "UNIT", "make a unit's holding its store",
	  "  --unit NEW        make it the store of another unit\n"
	  "  --name NAME       only the fds of that name\n",
	  verb_claim },
	{ "drop", "UNIT [NAME]", "free the fds of a unit",
	  "  --state STATE     only those that are stored, held or lost\n"
	  "  --yes             do not ask\n",
	  verb_drop },
	{ "mapping", "[FILE|-]", "check and print a mapping; luod's without a file",
	  "  --session NAME    the one in an incoming session\n"
	  "  --raw             the text as it is\n",
	  verb_mapping },
	{ "heap", "HOW FILE|UNIT [NAME]", "look into a persistent heap",
	  "  --nth N           which of several fds of that name, from 0\n"
	  "  --root NAME       dump: only this root\n"
	  "  --raw             dump: the bytes of the root's object as they are\n"
	  "  --blocks          dump: every block in use instead of the roots\n",
	  verb_heap,
	  "  check             does everything in it fit together?\n"
	  "  stat              what it is, how much is in it, and its roots\n"
	  "  dump              the objects of its roots\n" },
	{ "check", "", "is this machine ready for a live update?",
	  "  --kernel FILE     also compare the kernel that is to come with this one\n",
	  verb_check },
	{ "harvest", "", "what systemd's fd stores would keep in a kexec",
	  "  --dry-run         only look: luo-harvest.service does it\n", verb_harvest },
	{ "preserve", "", "a commit that is undone again: a test, and a warm-up",
	  "  --session NAME    name of the session\n"
	  "  --max-files-per-session N\n"
	  "  --keep            do not undo it\n",
	  verb_preserve },
	{ "commit", "", "preserve everything for the next kexec",
	  "  --session NAME    name of the session\n"
	  "  --max-files-per-session N\n",
	  verb_commit },
	{ "abort", "", "undo the commit", NULL, verb_abort },
	{ "kexec", "", "load a kernel, commit, and go there",
	  "  --kernel FILE     the kernel to load; without, the one that is loaded already\n"
	  "  --initrd FILE     its initial RAM disk\n"
	  "  --cmdline TEXT    its command line\n"
	  "  --reuse-cmdline   its command line is that of this kernel (the default)\n"
	  "  --append TEXT     add this to the command line\n"
	  "  --load-only       load it, and stop there\n"
	  "  --no-warm-up      do not preserve and undo once before the commit\n"
	  "  --session NAME    name of the session\n"
	  "  --force           go on when something is wrong that would stop it\n"
	  "  --now             where systemd is PID 1: at once, without systemctl kexec\n",
	  verb_kexec },
	{ "enable", "", "switch on all that plugs into systemd", NULL, verb_enable },
	{ "disable", "", "switch it off again, without a trace",
	  "  --force           free what luod still has\n", verb_disable },
	{ "monitor", "", "what happens in luod, as it happens", NULL, verb_monitor },
	{ "help", "[VERB]", "print this, or all about a verb", NULL, verb_help },
	{ 0 },
};

static const char common_help[] =
	"  --json            print JSON\n"
	"  --no-legend       no headings and totals\n"
	"  --socket PATH     where luod listens (default: /run/luo/io.luo)\n"
	"  --timeout SECS    how long to wait for luod (default: 0, for ever)\n"
	"  --help, --version\n";

const struct verb *find_verb(const char *name)
{
	for (const struct verb *v = verbs; v->name; v++)
		if (streq(v->name, name))
			return v;
	return NULL;
}

void print_help(void)
{
	puts("Usage: luoctl [OPTION...] VERB [ARGUMENT...]\n"
	     "\n"
	     "Looks after the file descriptors that outlive this kernel.\n"
	     "\n"
	     "Verbs:");
	for (const struct verb *v = verbs; v->name; v++) {
		char left[64];

		snprintf(left, sizeof(left), "%s%s%s", v->name, *v->arguments ? " " : "",
			 v->arguments);
		printf("  %-23s  %s\n", left, v->help);
	}
	printf("\nOptions of all verbs:\n%s", common_help);
}

void print_verb_help(const struct verb *v)
{
	printf("Usage: luoctl %s%s%s%s\n\n%c%s.\n", v->name, v->options ? " [OPTION...]" : "",
	       *v->arguments ? " " : "", v->arguments, v->help[0] - 'a' + 'A', v->help + 1);
	if (v->ways)
		printf("\nHow:\n%s", v->ways);
	printf("\nOptions:\n%s%s", v->options ?: "", common_help);
}

int verb_help(struct context *c, int argc, char **argv)
{
	const struct verb *verb;
	int r;

	if (next_option(c, argc, argv, NULL, &r) != -1)
		return r;
	if (!count_arguments(c, argc, 0, 1))
		return LUOCTL_USAGE;
	if (optind == argc) {
		print_help();
		return LUOCTL_OK;
	}
	verb = find_verb(argv[optind]);
	if (!verb)
		return usage_error(c, "there is no verb '%s'", argv[optind]);
	print_verb_help(verb);
	return LUOCTL_OK;
}

static int run_verb(struct context *c, int argc, char **argv)
{
	int first = optind, r;

	if (first == argc)
		return usage_error(c, "what shall it do?");
	c->verb = find_verb(argv[first]);
	if (!c->verb)
		return usage_error(c, "there is no verb '%s'", argv[first]);
	/* The verb's place is that of the program's name, which getopt puts before its messages. */
	argv[first] = argv[0];
	optind = 0;
	r = c->verb->run(c, argc - first, argv + first);
	if (fflush(stdout) != 0 && r == LUOCTL_OK) {
		complain("cannot write the output: %m");
		r = LUOCTL_FAILED;
	}
	return r;
}

int main(int argc, char **argv)
{
	static char name[] = "luoctl";
	struct context context = { .legend = true, .timeout_usec = UINT64_MAX };
	int r;

	if (argc < 1)
		return LUOCTL_USAGE;
	argv[0] = name;
	if (global_options(&context, argc, argv, &r) == -1)
		r = run_verb(&context, argc, argv);
	luo_client_free(context.client);
	return r;
}
