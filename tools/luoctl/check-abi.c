/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* Will the kernel that is to come understand this one? */

#include "tools/luoctl/abi-compare.h"
#include "tools/luoctl/check.h"
#include "tools/luoctl/machine.h"
#include "common/util.h"

static void add_differences(struct check *check, const struct abi_comparison *c)
{
	struct json_object *item = check_add(
		check, CHECK_FAILED, "next kernel",
		"Do not go there with anything to preserve: it would panic, or forget all of it.",
		"%s does not understand this one", check->kernel);

	for (size_t i = 0; i < c->n_differences; i++)
		check_detail(item, "this kernel: %s; that one: %s", c->differences[i].here,
			     c->differences[i].there ?: "nothing of that kind");
}

static void add_answer(struct check *check, const struct abi_comparison *c)
{
	switch (c->answer) {
	case ABI_SAME:
		check_add(check, CHECK_OK, "next kernel", NULL,
			  "%s speaks as this one does (%zu of %zu formats compared)", check->kernel,
			  c->n_same, c->there.n);
		break;
	case ABI_DIFFERS:
		add_differences(check, c);
		break;
	case ABI_NONE:
		check_add(check, CHECK_FAILED, "next kernel", "Build it with CONFIG_LIVEUPDATE.",
			  "%s knows nothing of live updates", check->kernel);
		break;
	case ABI_UNKNOWN:
		check_add(check, CHECK_UNKNOWN, "next kernel", NULL,
			  "cannot tell whether %s understands this one: %s", check->kernel,
			  c->reason);
		break;
	}
}

void check_abi(struct check *check)
{
	_cleanup_free_ char *data = NULL;
	struct abi_comparison c;
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
	abi_compare(data, size, &c);
	add_answer(check, &c);
}
