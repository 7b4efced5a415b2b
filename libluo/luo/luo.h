/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUO_LUO_H
#define LUO_LUO_H

/* Everything. A program that needs one thing includes one header. */

#include <luo/client.h>
#include <luo/fdstore.h>
#include <luo/handover.h>
#include <luo/inspect.h>
#include <luo/mapping.h>
#include <luo/memfd.h>
#include <luo/session.h>
#include <luo/store.h>

#endif
