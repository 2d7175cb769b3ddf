/* To be included first: products are rounded before they are added. Overlaps are
   then those of mmdet to the last bit, or ties would be broken in another way. */

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("fp-contract=off")
#else
#pragma STDC FP_CONTRACT OFF
#endif
