/* Two programs in one, both on a raw file of uint64 byte addresses:
 *
 *   reference counts TRACE REPEATS   the counts-only replay, L1 32K/8, L2 512K/8, L3 16M/16, by the
 *                                    algorithm of cgsim/core/replay/reads.py: blocks of 4096 through
 *                                    one level at a time, a set as one vector in recency order
 *   reference walk TRACE REPEATS     reads each address of an arena, for cachegrind to watch
 *
 * counts prints "hits1 hits2 hits3" and then the seconds of each repeat; walk prints a checksum and
 * the seconds. Without AVX-512VL the sets are moved in plain loops.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#ifdef __AVX512VL__
#include <immintrin.h>
#endif

enum { BLOCK = 4096, AHEAD = 8, S1 = 64, S2 = 1024, S3 = 16384 };

static uint32_t t1[S1 * 8] __attribute__((aligned(64)));
static uint32_t t2[S2 * 8] __attribute__((aligned(64)));
static uint32_t t3[S3 * 16] __attribute__((aligned(64)));

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + 1e-9 * t.tv_nsec;
}

#ifdef __AVX512VL__
static inline unsigned touch8(uint32_t *row, uint32_t line)
{
	__m256i old = _mm256_load_si256((void *)row), front = _mm256_set1_epi32(line);
	unsigned match = _mm256_cmpeq_epi32_mask(old, front), ends = match | 0x80;

	_mm256_store_si256((void *)row, _mm256_mask_blend_epi32(ends ^ (ends - 1), old,
				_mm256_alignr_epi32(old, front, 7)));
	return match != 0;
}

static inline unsigned touch16(uint32_t *row, uint32_t line)
{
	__m512i old = _mm512_load_si512(row), front = _mm512_set1_epi32(line);
	unsigned match = _mm512_cmpeq_epi32_mask(old, front), ends = match | 0x8000;

	_mm512_store_si512(row, _mm512_mask_blend_epi32(ends ^ (ends - 1), old,
				_mm512_alignr_epi32(old, front, 15)));
	return match != 0;
}
#else
static inline unsigned touch(uint32_t *row, uint32_t line, int ways)
{
	uint32_t previous = row[0], entry;

	if (previous == line)
		return 1;
	row[0] = line;
	for (int w = 1; w < ways; w++) {
		entry = row[w];
		row[w] = previous;
		if (entry == line)
			return 1;
		previous = entry;
	}
	return 0;
}
#define touch8(row, line) touch(row, line, 8)
#define touch16(row, line) touch(row, line, 16)
#endif

static void counts(const uint64_t *address, long n, long *hits)
{
	static uint32_t queue[BLOCK + AHEAD];
	long missed1 = 0, missed2 = 0, missed3 = 0;

	for (long start = 0; start < n; start += BLOCK) {
		long stop = start + BLOCK < n ? start + BLOCK : n, k1 = 0, k2 = 0;

		for (long i = start; i < stop; i++) {
			uint32_t line = address[i] >> 6;

			queue[k1] = line;
			k1 += 1 - touch8(t1 + line % S1 * 8, line);
		}
		for (long i = 0; i < k1; i++) {
			uint32_t line = queue[i];

			queue[k2] = line;
			k2 += 1 - touch8(t2 + line % S2 * 8, line);
		}
		for (long i = 0; i < k2; i++) {
			uint32_t line = queue[i];

			__builtin_prefetch(t3 + queue[i + AHEAD] % S3 * 16, 1);
			missed3 += 1 - touch16(t3 + line % S3 * 16, line);
		}
		missed1 += k1;
		missed2 += k2;
	}
	hits[0] = n - missed1;
	hits[1] = missed1 - missed2;
	hits[2] = missed2 - missed3;
}

int main(int argc, char **argv)
{
	FILE *file = argc == 4 ? fopen(argv[2], "rb") : NULL;
	uint64_t *address, lowest = UINT64_MAX, highest = 0, sum = 0;
	long n, hits[3];
	char *arena;

	if (!file)
		return 2;
	fseek(file, 0, SEEK_END);
	n = ftell(file) / 8;
	rewind(file);
	address = malloc(8 * n);
	if (!address || fread(address, 8, n, file) != (size_t)n)
		return 2;
	if (!strcmp(argv[1], "counts")) {
		for (int r = 0; r < atoi(argv[3]); r++) {
			double begin = now();

			memset(t1, -1, sizeof(t1));
			memset(t2, -1, sizeof(t2));
			memset(t3, -1, sizeof(t3));
			counts(address, n, hits);
			begin = now() - begin;
			if (!r)
				printf("%ld %ld %ld\n", hits[0], hits[1], hits[2]);
			printf("%.9f\n", begin);
		}
		return 0;
	}
	for (long i = 0; i < n; i++) {
		lowest = address[i] < lowest ? address[i] : lowest;
		highest = address[i] > highest ? address[i] : highest;
	}
	/* Mapped at the lowest address modulo 16 MiB, so that the sets are those of the trace. */
	arena = mmap(NULL, highest - lowest + (1 << 25), PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (arena == MAP_FAILED)
		return 2;
	arena += (lowest - (uint64_t)arena) & ((1 << 24) - 1);
	for (int r = 0; r < atoi(argv[3]); r++) {
		double begin = now();

		for (long i = 0; i < n; i++)
			sum += *(volatile uint64_t *)(arena + (address[i] - lowest));
		printf("%.9f\n", now() - begin);
	}
	printf("%lu\n", (unsigned long)sum);
	return 0;
}
