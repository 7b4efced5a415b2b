# SPDX-License-Identifier: LGPL-2.1-or-later
"""luo-vm: build kernels, boot them in QEMU, kexec from one into the next, and report as tests."""
