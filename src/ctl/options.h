/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "ctl/ctl.h"

/*
 * Take the command line apart. Options may stand anywhere; `-5` is a number, so a word; after `--`
 * everything is a word. --name=VALUE and --name VALUE are the same.
 *
 * ret:     zeroed by the caller; ret->sets is the caller's, room for argc pointers
 * returns: CTL_DONE, or CTL_USAGE after saying what is wrong
 */
enum ctl_exit options_parse(int argc, char **argv, struct ctl *ret) MUST_CHECK;

/*
 * The verb that the words name, with the number and kind of its arguments checked.
 * NULL: said what is wrong.
 */
const struct verb *options_verb(struct ctl *c);
