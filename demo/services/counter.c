/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * counter: counts things by name, and goes on counting after the kernel has been replaced.
 *
 *   incr NAME   one more; answers with the new value
 *   get NAME    answers with the value
 *   total       all requests to incr, ever
 *
 * Everything that it knows lies in one memfd in its fd store. That is all it does about live
 * updates, and about crashes: there is no code for shutting down, saving or loading.
 */

#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <luo/fdstore.h>
#include <luo/memfd.h>

#include "demo/services/line-server.h"

#define PORT      7001
#define SIZE      (64 * 1024)
#define MAGIC     UINT64_C(0x7265746e756f6331)
#define NAME_SIZE 56

struct counter {
	char name[NAME_SIZE]; /* empty: free */
	uint64_t value;
};

/* What lies in the memfd. Another program, or a later version of this one, reads it in the next
 * kernel: so it has a magic number, no pointers, and the same layout everywhere. */
struct table {
	uint64_t magic;
	uint64_t total;
	struct counter counters[(SIZE - 16) / sizeof(struct counter)];
};

static struct counter *find(struct table *table, const char *name)
{
	size_t n = sizeof(table->counters) / sizeof(*table->counters);

	for (size_t i = 0; i < n; i++) {
		struct counter *c = &table->counters[i];

		if (!c->name[0])
			snprintf(c->name, NAME_SIZE, "%s", name);
		if (strncmp(c->name, name, NAME_SIZE - 1) == 0)
			return c;
	}
	return NULL;
}

static void answer(void *service, char *request, char *text)
{
	struct table *table = service;
	char *name = strchr(request, ' ');
	struct counter *c;

	if (strcmp(request, "total") == 0) {
		sprintf(text, "%llu", (unsigned long long)table->total);
		return;
	}
	if (!name || !name[1]) {
		strcpy(text, "what?");
		return;
	}
	*name++ = 0;
	c = find(table, name);
	if (!c) {
		strcpy(text, "full");
		return;
	}
	if (strcmp(request, "incr") == 0) {
		c->value++;
		table->total++;
	}
	sprintf(text, "%llu", (unsigned long long)c->value);
}

int main(void)
{
	struct table *table;
	void *memory;
	size_t size;
	int fd, r;

	/* The memory that is in our store, or new memory that is put into it. */
	r = luo_fdstore_memfd("counters", SIZE, &fd);
	if (r < 0)
		errx(1, "cannot get the memory of the counters: %s", strerror(-r));
	/* Others have this memory as well; none of them can cut it off under us. */
	(void)luo_memfd_add_seals(fd, LUO_SEALS_SIZE);
	r = luo_memfd_map(fd, LUO_MAP_SHARED, &memory, &size);
	if (r < 0)
		errx(1, "cannot map the counters: %s", strerror(-r));
	table = memory;
	if (table->magic == 0)
		table->magic = MAGIC;
	if (table->magic != MAGIC)
		errx(1, "what is in the store are no counters of ours");

	printf("counter: %llu requests so far\n", (unsigned long long)table->total);
	fflush(stdout);
	line_server_run(line_server_listen(PORT), answer, table);
}
