/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Will the kernel that is to come understand this one? */

#include <stdio.h>
#include <sys/utsname.h>

#include "abi.h"
#include "check.h"
#include "machine.h"
#include "util.h"

/* Where debugfs shows what this kernel is going to hand over. */
static const char *const handover_files[] = {
	"/sys/kernel/debug/kho/out/fdt",
	"/sys/kernel/debug/kho/out/sub_fdts/LUO",
};

static void scan_file(struct abi *abi, const char *path)
{
	_cleanup_free_ char *data = NULL;
	size_t size;

	if (machine_read(path, &data, &size) == 0)
		abi_scan(abi, data, size);
}

/* The image that it was booted from, if it is where distributions have it; else what it shows. */
static void abi_of_this_kernel(struct abi *ret)
{
	_cleanup_free_ char *data = NULL;
	const char *reason;
	struct utsname u;
	char path[256];
	size_t size;

	*ret = (struct abi){ 0 };
	uname(&u);
	snprintf(path, sizeof(path), "/boot/vmlinuz-%s", u.release);
	if (machine_read(path, &data, &size) == 0 && abi_of_image(data, size, ret, &reason) == 0 &&
	    ret->n > 0)
		return;
	for (size_t i = 0; i < ELEMENTSOF(handover_files); i++)
		scan_file(ret, handover_files[i]);
}

static void compare(struct check *check, const struct abi *here, const struct abi *next)
{
	struct json_object *item = NULL;
	size_t same = 0;

	for (size_t i = 0; i < here->n; i++) {
		const char *other = abi_find(next, here->strings[i]);

		if (other && streq(other, here->strings[i])) {
			same++;
			continue;
		}
		if (!item)
			item = check_add(
				check, CHECK_FAILED, "next kernel",
				"Do not go there with anything to preserve: it would panic, "
				"or forget all of it.",
				"%s does not understand this one", check->kernel);
		check_detail(item, "this kernel: %s; that one: %s", here->strings[i],
			     other ?: "nothing of that kind");
	}
	if (!item)
		check_add(check, CHECK_OK, "next kernel", NULL,
			  "%s speaks as this one does (%zu of %zu formats compared)", check->kernel,
			  same, next->n);
}

void check_abi(struct check *check)
{
	_cleanup_free_ char *data = NULL;
	struct abi here, next;
	const char *reason;
	size_t size;
	int r;

	if (!check->kernel)
		return;
	r = machine_read(check->kernel, &data, &size);
	if (r < 0) {
		check_add(check, CHECK_FAILED, "next kernel", NULL, "cannot read %s: %s",
			  check->kernel, strerror(-r));
		return;
	}
	if (abi_of_image(data, size, &next, &reason) < 0) {
		check_add(check, CHECK_UNKNOWN, "next kernel", NULL, "cannot look into %s: %s",
			  check->kernel, reason);
		return;
	}
	if (next.n == 0) {
		check_add(check, CHECK_FAILED, "next kernel", "Build it with CONFIG_LIVEUPDATE.",
			  "%s knows nothing of live updates", check->kernel);
		return;
	}
	abi_of_this_kernel(&here);
	if (here.n == 0)
		check_add(check, CHECK_UNKNOWN, "next kernel", NULL,
			  "cannot tell which formats this kernel uses: neither its image in /boot "
			  "nor debugfs can be read");
	else
		compare(check, &here, &next);
}
