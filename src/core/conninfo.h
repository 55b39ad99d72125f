/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Look through a libpq connection string, key=value words or a postgresql:// URI, for what does not
 * belong into it: passwords come from files.
 *
 * returns: what is wrong, in words that quote nothing of it; NULL: nothing
 * source:  https://www.postgresql.org/docs/15/libpq-connect.html#LIBPQ-CONNSTRING
 */
const char *conninfo_wrong(const char *conninfo);
