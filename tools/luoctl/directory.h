/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOCTL_DIRECTORY_H
#define LUOCTL_DIRECTORY_H

/* With the files in it. -ENOTEMPTY or -EISDIR if it contains a directory. */
int remove_directory(const char *path);

#endif
