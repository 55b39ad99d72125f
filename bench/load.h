/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "workload.h"

/* The modes of the program `load`; each prints its result as one line of JSON. */
int load_fill(const struct workload *w);    /* load_fill.c: make a backlog */
int load_consume(const struct workload *w); /* load_consume.c: read it, nothing else */
int load_closed(const struct workload *w);  /* load_closed.c: virtual users who wait for answers */
int load_open(const struct workload *w); /* load_open.c: a steady rate, whatever the answers do */
int load_echo(const struct workload *w); /* load_echo.c: answer without a database */
