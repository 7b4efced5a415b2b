/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * All of a live update, in the order in which it can still be undone:
 *
 *   load      while everything runs; it may take seconds, and may fail
 *   warm up   preserve and undo, so that the kernel moves the pages now and not in the blackout
 *   commit    from here on the files cannot grow
 *   reboot    if it comes back: abort, and all is as it was
 *
 * It does not stop the services: that is the business of whoever started them. Where that is
 * systemd, it is told to: it stops them, and luo-harvest and luo-shutdown do the rest.
 */

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>

#include "tools/luoctl/abi-compare.h"
#include "tools/luoctl/cmdline.h"
#include "tools/luoctl/commit.h"
#include "common/format.h"
#include "common/json.h"
#include "manager/manager.h"
#include "tools/luoctl/machine.h"
#include "tools/luoctl/systemd.h"
#include "common/read-file.h"
#include "common/util.h"

/* How long an undo waits for a luod that has gone; it takes a second or so to be restarted. */
#define UNDO_WAIT_USEC  (10 * USEC_PER_SEC)
#define UNDO_RETRY_USEC (100 * USEC_PER_MSEC)

struct kexec {
	const char *kernel, *initrd, *cmdline, *append, *session;
	bool reuse, load_only, no_warm_up, force, now;
	struct json_object *report;
};

/* For people as it happens; --json prints the report when all is known. */
static void say(const struct context *c, const char *format, ...)
	__attribute__((__format__(__printf__, 2, 3)));
static void say(const struct context *c, const char *format, ...)
{
	va_list ap;

	if (c->json)
		return;
	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
}

/* ---- command line ---------------------------------------------------------------------------- */

static int make_cmdline(const struct kexec *k, char **ret)
{
	_cleanup_free_ char *own = NULL;
	size_t size;
	int r;

	if (!k->cmdline) {
		r = machine_read("/proc/cmdline", &own, &size);
		if (r < 0) {
			complain("cannot read /proc/cmdline: %s", strerror(-r));
			return LUOCTL_FAILED;
		}
	}
	*ret = cmdline_reuse(k->cmdline ?: own, k->append);
	if (!*ret) {
		complain("out of memory");
		return LUOCTL_FAILED;
	}
	if (k->force ||
	    (cmdline_is_on(*ret, "liveupdate", false) && cmdline_is_on(*ret, "kho", true)))
		return LUOCTL_OK;
	complain(
		"the new kernel would let everything go that is preserved: its command line does not have kho=on liveupdate=on");
	fputs("Add it with --append, or say --force. Nothing was loaded or committed.\n", stderr);
	return LUOCTL_FAILED;
}

/* ---- does it understand this kernel? --------------------------------------------------------- */

static const char *const answer_names[] = { "same", "different", "none", "unknown" };

static int refuse(const struct kexec *k, const char *what, const char *why, const char *danger)
{
	if (k->force) {
		complain("warning: %s %s: %s; going on with --force, which loses what is preserved",
			 k->kernel, what, why);
		return LUOCTL_OK;
	}
	complain("%s %s: %s", k->kernel, what, why);
	fprintf(stderr,
		"It would %s. Choose another kernel (luoctl check --kernel FILE says whether one fits), or say --force to go there all the same, and lose it. Nothing was loaded or committed.\n",
		danger);
	return LUOCTL_FAILED;
}

static int refuse_different(const struct kexec *k, const struct abi_comparison *abi)
{
	_cleanup_free_ char *differences = abi_differences_text(abi);

	return refuse(k, "does not understand this kernel", differences ?: strerror(ENOMEM),
		      "panic at boot, or lose everything that is preserved");
}

static int refuse_none(const struct kexec *k)
{
	return refuse(k, "knows nothing of live updates", "it was built without CONFIG_LIVEUPDATE",
		      "lose everything that is preserved");
}

/* Before anything is loaded: afterwards the kernel that was loaded before is gone. */
static int check_formats(struct kexec *k, int kernel_fd)
{
	_cleanup_free_ char *image = NULL;
	struct abi_comparison abi;
	size_t size;
	int r;

	r = read_file_fd(kernel_fd, MACHINE_FILE_MAX, &image, &size);
	if (r < 0) {
		complain("cannot read %s: %s", k->kernel, strerror(-r));
		return LUOCTL_FAILED;
	}
	abi_compare(image, size, &abi);
	json_add_string(k->report, "formats", answer_names[abi.answer]);
	switch (abi.answer) {
	case ABI_DIFFERS:
		return refuse_different(k, &abi);
	case ABI_NONE:
		return refuse_none(k);
	case ABI_UNKNOWN:
		complain("warning: cannot tell whether %s understands this kernel: %s", k->kernel,
			 abi.reason);
		return LUOCTL_OK;
	default:
		return LUOCTL_OK;
	}
}

/* ---- load ------------------------------------------------------------------------------------ */

static int open_image(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		complain("cannot open %s: %m", path);
	return fd;
}

static const char *load_advice(int error)
{
	switch (error) {
	case -EPERM:
		return "It takes root, and a kernel that allows it: see kernel.kexec_load_disabled.";
	case -ENOEXEC:
	case -EINVAL:
		return "Is it a kernel image for this machine?";
	case -EKEYREJECTED:
	case -ENODATA:
		return "The kernel is locked down and takes only images with a signature it knows.";
	case -ENOSYS:
		return "This kernel was built without CONFIG_KEXEC_FILE.";
	case -EBUSY:
		return "Another kexec is being loaded just now.";
	default:
		return NULL;
	}
}

static int try_to_load(const struct kexec *k, int kernel_fd, int initrd_fd, const char *cmdline)
{
	int r = machine_kexec_file_load(kernel_fd, initrd_fd, cmdline);

	/* kexec-tools knows how to unpack some images that the kernel does not. */
	if (r == -ENOEXEC && machine_kexec_tools(k->kernel, k->initrd, cmdline) == 0)
		return 0;
	return r;
}

static int load(const struct context *c, struct kexec *k)
{
	_cleanup_close_ int kernel_fd = -EBADF, initrd_fd = -EBADF;
	_cleanup_free_ char *cmdline = NULL;
	uint64_t started, usec;
	char buffer[FORMAT_MAX];
	int r;

	kernel_fd = open_image(k->kernel);
	if (kernel_fd < 0)
		return LUOCTL_FAILED;
	if (k->initrd) {
		initrd_fd = open_image(k->initrd);
		if (initrd_fd < 0)
			return LUOCTL_FAILED;
	}
	r = make_cmdline(k, &cmdline);
	if (r == LUOCTL_OK)
		r = check_formats(k, kernel_fd);
	if (r != LUOCTL_OK)
		return r;
	started = now_usec(CLOCK_MONOTONIC);
	r = try_to_load(k, kernel_fd, initrd_fd, cmdline);
	if (r < 0) {
		complain("cannot load %s: %s", k->kernel, strerror(-r));
		if (load_advice(r))
			fprintf(stderr, "%s\n", load_advice(r));
		fputs("Nothing was committed.\n", stderr);
		return r == -EPERM ? LUOCTL_NOT_PERMITTED : LUOCTL_FAILED;
	}
	usec = now_usec(CLOCK_MONOTONIC) - started;
	say(c, "Loaded %s, %s.", k->kernel, format_usec(buffer, usec));
	json_add(k->report, "load",
		 json_strings("kernel", k->kernel, "initrd", k->initrd, "cmdline", cmdline, NULL));
	return LUOCTL_OK;
}

static int check_loaded(const struct kexec *k)
{
	_cleanup_free_ char *text = NULL;
	size_t size;

	if (k->force || machine_read("/sys/kernel/kexec_loaded", &text, &size) < 0 ||
	    text[0] != '0')
		return LUOCTL_OK;
	complain("no kernel is loaded to go to");
	fputs("Say which with --kernel FILE, or load one before. Nothing was committed.\n", stderr);
	return LUOCTL_FAILED;
}

/* ---- commit ---------------------------------------------------------------------------------- */

static int preserve(struct context *c, struct kexec *k, bool dry_run,
		    struct json_object **ret_reply)
{
	const struct commit_options options = { .session = k->session, .dry_run = dry_run };
	struct json_object *reply;
	char size[FORMAT_MAX], usec[FORMAT_MAX];
	int r;

	r = ask_commit(c, &options, &reply);
	if (r != LUOCTL_OK)
		return r;
	json_add(k->report, dry_run ? "warmUp" : "commit", reply);
	say(c, "%s: %lld fds preserved, %lld lost, %s, %s.", dry_run ? "Warm-up" : "Commit",
	    (long long)json_int(reply, "preserved"), (long long)json_int(reply, "lost"),
	    format_size(size, (uint64_t)json_int(reply, "bytes")),
	    format_usec(usec, (uint64_t)json_int(reply, "usec")));
	*ret_reply = reply;
	return LUOCTL_OK;
}

/* What can never be preserved does not stop it; what should have been does. */
static int check_report(const struct context *c, const struct kexec *k, struct json_object *reply)
{
	size_t failed = count_results(reply, "failed");

	if (failed == 0 || k->force)
		return LUOCTL_OK;
	if (!c->json)
		print_commit(c, reply);
	fflush(stdout);
	complain("%zu fd%s could not be preserved, though %s of a kind that can be", failed,
		 failed == 1 ? "" : "s", failed == 1 ? "it is" : "they are");
	fputs("Say --force to go without.\n", stderr);
	return LUOCTL_FAILED;
}

static const char *error_name(const struct context *c)
{
	const char *name;

	luo_client_error(c->client, &name, NULL);
	return name;
}

/* Nobody else will do it, so a luod that is being restarted is waited for. */
static int try_to_undo(struct context *c, char **ret_reply)
{
	uint64_t deadline = now_usec(CLOCK_MONOTONIC) + UNDO_WAIT_USEC;
	int r;

	for (;;) {
		r = luo_client_call(c->client, "Abort", NULL, NULL, 0, ret_reply, NULL, NULL);
		if (r >= 0 || error_name(c) || now_usec(CLOCK_MONOTONIC) >= deadline)
			return r;
		usleep(UNDO_RETRY_USEC);
	}
}

static void undo(struct context *c)
{
	_cleanup_json_ struct json_object *reply = NULL;
	_cleanup_free_ char *text = NULL;
	int r;

	r = try_to_undo(c, &text);
	if (r < 0) {
		explain(c, "undo the commit", r);
		fputs("As long as it stands, its files cannot change: undo it with luoctl abort.\n",
		      stderr);
		return;
	}
	reply = json_parse(text);
	fputs(json_true(reply, "aborted")
		      ? "The commit is undone, the services have what they had.\n"
		      : "No commit stands, the services have what they had.\n",
	      stderr);
}

/* An error of luod says that nothing is committed; anything else leaves it open. */
static void undo_if_it_may_stand(struct context *c)
{
	const char *name = error_name(c);

	if (name && strncmp(name, "io.luo.", strlen("io.luo.")) == 0)
		return;
	fputs("Whether the commit stands is not known, so it is undone.\n", stderr);
	undo(c);
}

static int commit_and_go(struct context *c, struct kexec *k)
{
	struct json_object *reply;
	int r;

	r = preserve(c, k, false, &reply);
	if (r != LUOCTL_OK) {
		undo_if_it_may_stand(c);
		return r;
	}
	r = check_report(c, k, reply);
	if (r == LUOCTL_OK) {
		say(c, "Going to the new kernel.");
		if (c->json)
			json_print(k->report);
		fflush(stdout);
		machine_sync();
		r = machine_reboot_kexec();
		complain("cannot go to the new kernel: %s", strerror(-r));
		if (r == -EINVAL)
			fputs("Probably none is loaded.\n", stderr);
		r = r == -EPERM ? LUOCTL_NOT_PERMITTED : LUOCTL_FAILED;
	}
	undo(c);
	return r;
}

/* Between the commit and the kexec or the abort nobody should take us away. */
static int commit_undisturbed(struct context *c, struct kexec *k)
{
	sigset_t signals, before;
	int r;

	sigemptyset(&signals);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGPIPE);
	sigprocmask(SIG_BLOCK, &signals, &before);
	r = commit_and_go(c, k);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return r;
}

/* At once would be without what is in the fd stores of PID 1. */
static int go_by_systemd(struct context *c, struct kexec *k)
{
	int r;

	r = k->kernel ? load(c, k) : check_loaded(k);
	if (r != LUOCTL_OK)
		return r;
	say(c, "Going to the new kernel: systemctl kexec.");
	if (c->json)
		json_print(k->report);
	fflush(stdout);
	r = systemctl("kexec", NULL);
	if (r == 0)
		return LUOCTL_OK;
	if (r < 0)
		complain("cannot run systemctl: %s", strerror(-r));
	else
		complain("cannot go to the new kernel: systemctl has failed");
	return LUOCTL_FAILED;
}

static int go(struct context *c, struct kexec *k)
{
	struct json_object *reply;
	unsigned version;
	int r;

	if (!k->load_only && !k->now && luo_manager_version(&version) >= 0)
		return go_by_systemd(c, k);
	if (!k->load_only) {
		/* What cannot be committed need not be loaded. */
		r = connect_to_luod(c);
		if (r != LUOCTL_OK)
			return r;
	}
	r = k->kernel ? load(c, k) : check_loaded(k);
	if (r != LUOCTL_OK)
		return r;
	if (k->load_only) {
		if (c->json)
			json_print(k->report);
		return LUOCTL_OK;
	}
	if (!k->no_warm_up) {
		r = preserve(c, k, true, &reply);
		if (r == LUOCTL_OK)
			r = check_report(c, k, reply);
		if (r != LUOCTL_OK)
			return r;
	}
	return commit_undisturbed(c, k);
}

/* ---- the verb -------------------------------------------------------------------------------- */

enum {
	KERNEL = OPTION_VERB,
	INITRD,
	CMDLINE,
	REUSE,
	APPEND,
	LOAD_ONLY,
	NO_WARM_UP,
	SESSION,
	FORCE,
	NOW,
};

static const struct option options[] = {
	{ "kernel", required_argument, NULL, KERNEL },
	{ "initrd", required_argument, NULL, INITRD },
	{ "cmdline", required_argument, NULL, CMDLINE },
	{ "reuse-cmdline", no_argument, NULL, REUSE },
	{ "append", required_argument, NULL, APPEND },
	{ "load-only", no_argument, NULL, LOAD_ONLY },
	{ "no-warm-up", no_argument, NULL, NO_WARM_UP },
	{ "session", required_argument, NULL, SESSION },
	{ "force", no_argument, NULL, FORCE },
	{ "now", no_argument, NULL, NOW },
	{ 0 },
};

static void take_option(struct kexec *k, int option)
{
	switch (option) {
	case KERNEL:
		k->kernel = optarg;
		break;
	case INITRD:
		k->initrd = optarg;
		break;
	case CMDLINE:
		k->cmdline = optarg;
		break;
	case REUSE:
		k->reuse = true;
		break;
	case APPEND:
		k->append = optarg;
		break;
	case LOAD_ONLY:
		k->load_only = true;
		break;
	case NO_WARM_UP:
		k->no_warm_up = true;
		break;
	case SESSION:
		k->session = optarg;
		break;
	case FORCE:
		k->force = true;
		break;
	case NOW:
		k->now = true;
		break;
	}
}

static int check_options(const struct context *c, const struct kexec *k)
{
	if (k->cmdline && k->reuse)
		return usage_error(c, "--cmdline and --reuse-cmdline exclude each other");
	if (!k->kernel && (k->initrd || k->cmdline || k->reuse || k->append || k->load_only))
		return usage_error(c, "--kernel is missing");
	if (k->session && !session_is_valid(c, k->session))
		return LUOCTL_USAGE;
	return LUOCTL_OK;
}

int verb_kexec(struct context *c, int argc, char **argv)
{
	struct kexec k = { 0 };
	int option, r;

	while ((option = next_option(c, argc, argv, options, &r)) >= 0)
		take_option(&k, option);
	if (option != -1)
		return r;
	if (!count_arguments(c, argc, 0, 0))
		return LUOCTL_USAGE;
	r = check_options(c, &k);
	if (r != LUOCTL_OK)
		return r;
	k.report = json_object_new_object();
	r = go(c, &k);
	json_object_put(k.report);
	return r;
}
