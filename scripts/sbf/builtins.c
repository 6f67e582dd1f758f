/* Compiler builtins for SBPF.
 *
 * LLVM lowers 128-bit multiplication and division, and bulk memory operations, to
 * calls of these functions. They are written in C because clang returns a 128-bit
 * scalar in r0:r2, as LLVM's BPF backend expects of a libcall; rustc 1.96 returns
 * it through memory. The linker drops functions that a program does not call.
 *
 * tests/tests/vm/builtins.rs compares their results with the host's.
 */
typedef unsigned long long u64;
typedef unsigned __int128 u128;
typedef __int128 i128;

#define INLINE static inline __attribute__((always_inline))

INLINE u64 low32(u64 x) { return x & 0xffffffffu; }
INLINE u128 join(u64 high, u64 low) { return ((u128)high << 64) | low; }

u128 __multi3(u128 a, u128 b) {
  u64 al = (u64)a, bl = (u64)b;
  u64 a0 = low32(al), a1 = al >> 32, b0 = low32(bl), b1 = bl >> 32;
  u64 low = a0 * b0;
  u64 mid = a1 * b0 + (low >> 32);
  u64 mid2 = a0 * b1 + low32(mid);
  u64 high = a1 * b1 + (mid >> 32) + (mid2 >> 32) + al * (u64)(b >> 64) + (u64)(a >> 64) * bl;
  return join(high, (mid2 << 32) | low32(low));
}

/* Counts the leading zeros of a non-zero number. SBPF has no instruction for it. */
INLINE int leading_zeros(u64 x) {
  int zeros = 0;
  if (!(x >> 32)) zeros += 32, x <<= 32;
  if (!(x >> 48)) zeros += 16, x <<= 16;
  if (!(x >> 56)) zeros += 8, x <<= 8;
  if (!(x >> 60)) zeros += 4, x <<= 4;
  if (!(x >> 62)) zeros += 2, x <<= 2;
  return zeros + !(x >> 63);
}

/* Returns one 32-bit digit of a quotient: (high:next) / d, where d has its top bit
 * set and high < d. Knuth's algorithm D: the estimate from d's upper half is too
 * large by 0, 1 or 2, and d's lower half corrects it. */
INLINE u64 digit(u64 high, u64 next, u64 d, u64 *rem) {
  u64 d1 = d >> 32, d0 = low32(d);
  u64 q = high / d1, r = high - q * d1;
  /* Once `r` exceeds one digit, the estimate cannot be too large. */
  while (q >> 32 || q * d0 > ((r << 32) | next)) {
    q--;
    r += d1;
    if (r >> 32) break;
  }
  *rem = ((high << 32) | next) - q * d; /* modulo 2^64: the remainder is less than d */
  return q;
}

/* Returns n / d, where n / 2^64 < d, so that the quotient fits 64 bits. d is at least 2^32. */
INLINE u64 divide_by_64(u64 high, u64 low, u64 d, u64 *rem) {
  int shift = leading_zeros(d);
  if (shift) {
    d <<= shift;
    high = (high << shift) | (low >> (64 - shift));
    low <<= shift;
  }
  u64 q1 = digit(high, low >> 32, d, &high);
  u64 q0 = digit(high, low32(low), d, &high);
  *rem = high >> shift;
  return (q1 << 32) | q0;
}

/* Returns one 32-bit digit of a quotient: n / d, where d is at least 2^64 and has
 * `shift` leading zeros, and n / d < 2^32. The upper bits of both, truncated so that d
 * keeps 32, give an estimate that is too large by 0, 1 or 2. The search starts at the
 * estimate less 2 and increments it while the remainder allows. */
INLINE u64 wide_digit(u128 n, u128 d, int shift, u128 *rem) {
  int cut = 96 - shift;
  u64 q = (u64)(n >> cut) / (u64)(d >> cut);
  q = q > 2 ? q - 2 : 0;
  u64 d0 = (u64)d, low = q * low32(d0), mid = q * (d0 >> 32) + (low >> 32);
  u128 r = n - join(q * (u64)(d >> 64) + (mid >> 32), (mid << 32) | low32(low));
  while (r >= d) {
    r -= d;
    q++;
  }
  *rem = r;
  return q;
}

/* The virtual machine aborts a division by zero at the first division instruction. */
INLINE u128 divide(u128 n, u128 d, u128 *rem) {
  u64 n1 = (u64)(n >> 64), n0 = (u64)n, d1 = (u64)(d >> 64), d0 = (u64)d;
  if (!d1) {
    if (!n1) {
      *rem = n0 % d0;
      return n0 / d0;
    }
    u64 q1 = n1 / d0, r = n1 % d0, q0;
    if (!(d0 >> 32)) {
      u64 part = (r << 32) | (n0 >> 32);
      u64 upper = part / d0;
      part = ((part % d0) << 32) | low32(n0);
      q0 = (upper << 32) | (part / d0);
      r = part % d0;
    } else {
      q0 = divide_by_64(r, n0, d0, &r);
    }
    *rem = r;
    return join(q1, q0);
  }
  if (n < d) {
    *rem = n;
    return 0;
  }
  int shift = leading_zeros(d1);
  u64 q1 = 0;
  if (n1 >> 32 >= d1) {
    u128 r;
    q1 = wide_digit(n >> 32, d, shift, &r);
    n = (r << 32) | low32(n0);
  }
  return (q1 << 32) | wide_digit(n, d, shift, rem);
}

u128 __udivti3(u128 a, u128 b) {
  u128 r;
  return divide(a, b, &r);
}

u128 __umodti3(u128 a, u128 b) {
  u128 r;
  divide(a, b, &r);
  return r;
}

INLINE u128 magnitude(i128 a) { return a < 0 ? -(u128)a : (u128)a; }

/* Rounds towards zero. The remainder has the sign of `a`. */
i128 __divti3(i128 a, i128 b) {
  u128 q = __udivti3(magnitude(a), magnitude(b));
  return (i128)((a < 0) != (b < 0) ? -q : q);
}

i128 __modti3(i128 a, i128 b) {
  u128 r = __umodti3(magnitude(a), magnitude(b));
  return (i128)(a < 0 ? -r : r);
}

/* Memory operations call the runtime's syscalls. A syscall's number is the murmur3 hash of its name. */
static void (*const sol_memmove)(void *, const void *, u64) = (void *)0x434371f8;
static void (*const sol_memset)(void *, unsigned char, u64) = (void *)0x3770fb22;
static void (*const sol_memcmp)(const void *, const void *, u64, int *) = (void *)0x5fdcde31;

void *memmove(void *to, const void *from, u64 n) {
  sol_memmove(to, from, n);
  return to;
}

/* Compilers may copy a value onto itself. sol_memcpy refuses that as an overlap;
 * sol_memmove accepts it and costs the same. */
void *memcpy(void *to, const void *from, u64 n) { return memmove(to, from, n); }

void *memset(void *to, int byte, u64 n) {
  sol_memset(to, (unsigned char)byte, n);
  return to;
}

int memcmp(const void *a, const void *b, u64 n) {
  int order = 0;
  sol_memcmp(a, b, n, &order);
  return order;
}

int bcmp(const void *a, const void *b, u64 n) { return memcmp(a, b, n); }
