/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOD_API_H
#define LUOD_API_H

/*
 * The methods of io.luo and org.varlink.service, one function each, and their descriptions. A
 * method answers its call and returns 0, or returns a negative errno, which is answered as
 * io.luo.Failed. What it has done when it answers survives a kill.
 */

struct call;

int api_get_info(struct call *call);
int api_get_interface_description(struct call *call);
int api_status(struct call *call);
int api_list_units(struct call *call);
int api_list_entries(struct call *call);
int api_list_holdings(struct call *call);
int api_register(struct call *call);
int api_claim(struct call *call);
int api_open_entry(struct call *call);
int api_store(struct call *call);
int api_drop(struct call *call);
int api_commit(struct call *call);
int api_abort(struct call *call);
int api_get_mapping(struct call *call);
int api_monitor(struct call *call);

extern const char io_luo_varlink[];
extern const char org_varlink_service[];

#endif
