/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include <stdio.h>
#include <sys/utsname.h>

#include "tools/luoctl/abi-compare.h"
#include "tools/luoctl/machine.h"
#include "common/util.h"

/* ---- this kernel ----------------------------------------------------------------------------- */

/* What this kernel is going to hand over, as it lies in its memory; it says so even if nothing is
 * preserved yet. */
static const char *const handover_files[] = { "kho/out/fdt", "kho/out/sub_fdts/LUO" };

/* Where distributions have the image of the kernel with this release. */
static const struct {
	const char *before, *behind;
} image_files[] = {
	{ "/boot/vmlinuz-", "" },
	{ "/lib/modules/", "/vmlinuz" },
};

static void add_handover(struct abi *abi)
{
	for (size_t i = 0; i < ELEMENTSOF(handover_files); i++) {
		_cleanup_free_ char *data = NULL;
		size_t size;

		if (machine_read_debugfs(handover_files[i], &data, &size) == 0)
			abi_scan(abi, data, size);
	}
}

static int read_own_image(const char *before, const char *behind, struct abi *ret)
{
	_cleanup_free_ char *data = NULL;
	char path[256], reason[ABI_REASON_MAX];
	struct utsname u;
	size_t size;
	int r;

	uname(&u);
	snprintf(path, sizeof(path), "%s%s%s", before, u.release, behind);
	r = machine_read(path, &data, &size);
	if (r < 0)
		return r;
	return abi_of_image(data, size, ret, reason);
}

/* A package that was updated in place leaves another kernel there under the same name. */
static bool is_own_image(const struct abi *handover, const struct abi *image)
{
	for (size_t i = 0; i < handover->n; i++)
		if (!abi_has(image, handover->strings[i]))
			return false;
	return image->n > 0;
}

/* Only the image knows the formats of files (memfd-v2): it is looked at even if debugfs is there.
 */
static void add_own_image(struct abi *abi)
{
	for (size_t i = 0; i < ELEMENTSOF(image_files); i++) {
		struct abi image;

		if (read_own_image(image_files[i].before, image_files[i].behind, &image) < 0 ||
		    !is_own_image(abi, &image))
			continue;
		for (size_t j = 0; j < image.n; j++)
			if (!abi_find(abi, image.strings[j]))
				abi_add(abi, image.strings[j]);
		return;
	}
}

/* ---- both ------------------------------------------------------------------------------------ */

static void compare(struct abi_comparison *c)
{
	for (size_t i = 0; i < c->here.n; i++) {
		const char *here = c->here.strings[i];

		if (abi_has(&c->there, here))
			c->n_same++;
		else
			c->differences[c->n_differences++] =
				(struct abi_difference){ here, abi_find(&c->there, here) };
	}
	c->answer = c->n_differences > 0 ? ABI_DIFFERS : ABI_SAME;
}

void abi_compare(const char *image, size_t size, struct abi_comparison *ret)
{
	*ret = (struct abi_comparison){ .answer = ABI_UNKNOWN };
	if (abi_of_image(image, size, &ret->there, ret->reason) < 0)
		return;
	if (!abi_find(&ret->there, "luo-v1")) {
		ret->answer = ABI_NONE;
		return;
	}
	add_handover(&ret->here);
	add_own_image(&ret->here);
	if (ret->here.n > 0)
		compare(ret);
	else
		snprintf(
			ret->reason, sizeof(ret->reason),
			"which formats this kernel uses is neither in debugfs nor in an image of it in /boot or /lib/modules");
}

char *abi_differences_text(const struct abi_comparison *c)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	for (size_t i = 0; i < c->n_differences; i++)
		fprintf(f, "%shere %s, there %s", i > 0 ? "; " : "", c->differences[i].here,
			c->differences[i].there ?: "nothing of that kind");
	if (fclose(f) == 0)
		return text;
	free(text);
	return NULL;
}
