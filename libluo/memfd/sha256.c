/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* SHA-256, FIPS 180-4 sections 4.1.2, 4.2.2, 5.3.3 and 6.2. Names as there. */

#include "libluo/memfd/sha256.h"
#include "common/util.h"

static const uint32_t K[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
	0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
	0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
	0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
	0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
	0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
	0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
	0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
	0xc67178f2,
};

static const uint32_t H0[8] = {
	0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
	0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};

static inline uint32_t rotr(uint32_t x, unsigned n)
{
	return x >> n | x << (32 - n);
}

static inline uint32_t load(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void store(uint8_t *p, uint32_t x)
{
	p[0] = (uint8_t)(x >> 24);
	p[1] = (uint8_t)(x >> 16);
	p[2] = (uint8_t)(x >> 8);
	p[3] = (uint8_t)x;
}

static void schedule(uint32_t w[64], const uint8_t *block)
{
	for (int t = 0; t < 16; t++)
		w[t] = load(block + 4 * t);
	for (int t = 16; t < 64; t++) {
		uint32_t s0 = rotr(w[t - 15], 7) ^ rotr(w[t - 15], 18) ^ w[t - 15] >> 3;
		uint32_t s1 = rotr(w[t - 2], 17) ^ rotr(w[t - 2], 19) ^ w[t - 2] >> 10;

		w[t] = s1 + w[t - 7] + s0 + w[t - 16];
	}
}

/*
 * v is a to h, but it does not move: a is v[-t & 7] in round t, b the one after it, and so on.
 * Eight rounds are written out by the compiler, and then all of that is constant.
 */
static inline void one_round(uint32_t v[8], int t, uint32_t k, uint32_t w)
{
	uint32_t a = v[-t & 7], b = v[(1 - t) & 7], c = v[(2 - t) & 7], d = v[(3 - t) & 7];
	uint32_t e = v[(4 - t) & 7], f = v[(5 - t) & 7], g = v[(6 - t) & 7], h = v[(7 - t) & 7];
	uint32_t t1 = h + (rotr(e, 6) ^ rotr(e, 11) ^ rotr(e, 25)) + ((e & f) ^ (~e & g)) + k + w;
	uint32_t t2 = (rotr(a, 2) ^ rotr(a, 13) ^ rotr(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));

	v[(3 - t) & 7] = d + t1;
	v[(7 - t) & 7] = t1 + t2;
}

static void add_block(uint32_t state[8], const uint8_t *block)
{
	uint32_t v[8], w[64];

	schedule(w, block);
	memcpy(v, state, sizeof(v));
	for (int t = 0; t < 64; t += 8)
#pragma GCC unroll 8
		for (int i = 0; i < 8; i++)
			one_round(v, i, K[t + i], w[t + i]);
	for (int i = 0; i < 8; i++)
		state[i] += v[i];
}

void luo_sha256_begin(struct luo_sha256 *s)
{
	memcpy(s->state, H0, sizeof(H0));
	s->size = 0;
}

void luo_sha256_add(struct luo_sha256 *s, const void *data, size_t size)
{
	size_t used = s->size % LUO_SHA256_BLOCK;
	const uint8_t *p = data;

	s->size += size;
	while (used + size >= LUO_SHA256_BLOCK) {
		size_t part = LUO_SHA256_BLOCK - used;

		if (used > 0) {
			memcpy(s->block + used, p, part);
			add_block(s->state, s->block);
		} else {
			add_block(s->state, p);
		}
		p += part;
		size -= part;
		used = 0;
	}
	if (size > 0)
		memcpy(s->block + used, p, size);
}

/* A one bit, zeros, and the number of bits in the last eight bytes of a block. */
void luo_sha256_end(struct luo_sha256 *s, uint8_t ret_digest[LUO_SHA256_SIZE])
{
	static const uint8_t padding[LUO_SHA256_BLOCK] = { 0x80 };
	uint64_t bits = s->size * 8;
	size_t used = s->size % LUO_SHA256_BLOCK;
	uint8_t length[8];

	store(length, (uint32_t)(bits >> 32));
	store(length + 4, (uint32_t)bits);
	luo_sha256_add(s, padding, (used < 56 ? 56 : 56 + LUO_SHA256_BLOCK) - used);
	luo_sha256_add(s, length, sizeof(length));
	for (size_t i = 0; i < 8; i++)
		store(ret_digest + 4 * i, s->state[i]);
}
