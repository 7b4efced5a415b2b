# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
"""luo-vm: build kernels, boot them in QEMU, kexec from one into the next, and report as tests."""
