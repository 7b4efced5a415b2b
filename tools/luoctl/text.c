/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include <stdint.h>
#include <stdlib.h>

#include "tools/luoctl/text.h"

bool text_is_safe(const char *data, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)data[i];
		unsigned char before = i > 0 ? (unsigned char)data[i - 1] : 0;

		if ((c < ' ' && c != '\n' && c != '\t') || c == 127)
			return false;
		/* 0x80 to 0x9f: alone, or as the second byte of U+0080 to U+009f */
		if (c >= 0x80 && c <= 0x9f && (before < 0x80 || before == 0xc2))
			return false;
	}
	return true;
}

char *text_base64(const char *data, size_t size)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char *s = malloc((size + 2) / 3 * 4 + 1), *p = s;

	if (!s)
		return NULL;
	for (size_t i = 0; i < size; i += 3) {
		uint32_t three = 0;

		for (size_t k = 0; k < 3; k++)
			three = three << 8 | (i + k < size ? (unsigned char)data[i + k] : 0);
		for (size_t k = 0; k < 4; k++)
			*p++ = i + k <= size ? digits[three >> (18 - 6 * k) & 63] : '=';
	}
	*p = '\0';
	return s;
}
