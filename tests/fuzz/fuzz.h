/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef FUZZ_H
#define FUZZ_H

/* What every target needs: its entry, and a check that is on in every build. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(x)                                                                 \
	do {                                                                    \
		if (!(x)) {                                                     \
			fprintf(stderr, "%s:%d: " #x "\n", __FILE__, __LINE__); \
			abort();                                                \
		}                                                               \
	} while (0)

#endif
