/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdlib.h>

/*
 * Values that free themselves when they go out of scope.
 *
 *     DEFINE_CLEANUP(struct lock *, lock_free)            beside the destructor
 *     CLEANUP(lock_free_ptr) struct lock *l = lock_new()  in a function
 *     return TAKE(l)                                      ours no more
 */
#define CLEANUP(function) __attribute__((cleanup(function)))

#define DEFINE_CLEANUP(type, function)                                                             \
	__attribute__((unused)) static inline void function##_ptr(type *p)                         \
	{                                                                                          \
		if (*p)                                                                            \
			function(*p);                                                              \
	}

#define TAKE(p)                                                                                    \
	__extension__({                                                                            \
		__typeof__(p) taken_ = (p);                                                        \
		(p) = NULL;                                                                        \
		taken_;                                                                            \
	})

/* CLEANUP(free_ptr) char *text = strdup(...); */
__attribute__((unused)) static inline void free_ptr(void *p)
{
	free(*(void **)p);
}
