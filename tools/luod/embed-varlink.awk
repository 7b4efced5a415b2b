# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: the libluo authors
# The text of an interface as a C string.
BEGIN {
	print "#include \"tools/luod/server.h\"\n"
	print "const char io_luo_varlink[] ="
}
{
	gsub(/\\/, "\\\\")
	gsub(/"/, "\\\"")
	printf "\t\"%s\\n\"\n", $0
}
END { print "\t;" }
