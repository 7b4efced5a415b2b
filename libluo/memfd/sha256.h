/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBLUO_MEMFD_SHA256_H
#define LIBLUO_MEMFD_SHA256_H

/* SHA-256 of FIPS 180-4. */

#include <stddef.h>
#include <stdint.h>

#define LUO_SHA256_BLOCK 64
#define LUO_SHA256_SIZE  32

struct luo_sha256 {
	uint32_t state[8];
	uint64_t size; /* bytes so far */
	uint8_t block[LUO_SHA256_BLOCK];
};

void luo_sha256_begin(struct luo_sha256 *s);
void luo_sha256_add(struct luo_sha256 *s, const void *data, size_t size);
void luo_sha256_end(struct luo_sha256 *s, uint8_t ret_digest[LUO_SHA256_SIZE]);

#endif
