/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "sim.h"

/* The coordinator as a member's client sees it. */

struct sim_member *sim_group_member(struct sim_world *w, int64_t id); /* NULL: not one any more */
int64_t sim_group_join(struct sim_worker *k);                         /* 0: no room for now */
void sim_group_leave(struct sim_world *w, int64_t id);
/* An offset commit goes out; it lands, or fails, later. false: no room for it. */
bool sim_group_send(struct sim_worker *k, int32_t partition, int64_t offset);
