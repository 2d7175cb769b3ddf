/* Names the oldest versions of functions that glibc 2.29 renewed, so that the
   library loads with glibc 2.17. */

#ifndef MMDET_UOT_OLD_GLIBC_H
#define MMDET_UOT_OLD_GLIBC_H

#include <features.h>

#if defined(__GLIBC__) && defined(__x86_64__)
__asm__(".symver exp,exp@GLIBC_2.2.5");
__asm__(".symver log,log@GLIBC_2.2.5");
__asm__(".symver pow,pow@GLIBC_2.2.5");
#elif defined(__GLIBC__) && defined(__aarch64__)
__asm__(".symver exp,exp@GLIBC_2.17");
__asm__(".symver log,log@GLIBC_2.17");
__asm__(".symver pow,pow@GLIBC_2.17");
#endif

#endif
