const mebibyte = 1024 * 1024

/** How much of everything a run does. Sizes are in bytes. */
export type Scale = {
  name: 'full' | 'short'
  /** Of each pair; even, for the order to be balanced. */
  rounds: number
  /** Of pairs that fetch blobs of 100 MB on one connection: these runs are short, and differ more. */
  byteRounds: number
  /** Of one run under load. */
  seconds: number
  /** Of one run where the spread is small beside what is looked for: against distribution, and of workers. */
  slowSeconds: number
  /** How often two workers and one are started anew for their costs to be compared: those differ from start to start. */
  workerStarts: number
  /** Of one run of two workers beside the load: the scheduler favours one for seconds, and then the other. */
  spreadSeconds: number
  /** Of load on each server before the first round: code that is compiled while it runs has been by then. */
  warmUpSeconds: number
  /** Of blobs of 1 GiB, before hits are timed while one is filled: it takes as long until that code is compiled. */
  warmUpFills: number
  /** How many blobs of 100 MB one run fetches, by the number of connections. */
  bigBlobs: { 1: number; 16: number; 64: number }
  /** Of pairs of cold pulls; in the short form one, whose order is not balanced, since each takes 4 s. */
  coldRounds: number
  /** Of pairs in one of which a blob of 1 GiB is filled; in the short form one as well. */
  fillRounds: number
  /** How many blobs first bytes are timed of. */
  firstBytes: number
  /** How long requests at a fixed rate are timed. */
  steadySeconds: number
  slowReaderSeconds: number
  /** How many blobs, and how many tags, lie on disk before the start that is timed. */
  stored: number
  starts: number
  /** What all of it takes up at its end, in bytes, with some to spare. */
  diskSpace: number
}

export const sizes = {
  small: 10 * 1024,
  firstByte: 4 * mebibyte,
  big: 100_000_000,
  cold: 250_000_000,
  huge: 1024 * mebibyte,
} as const

export const scales: Record<Scale['name'], Scale> = {
  full: {
    name: 'full',
    rounds: 6,
    byteRounds: 64,
    seconds: 4,
    slowSeconds: 3,
    workerStarts: 2,
    spreadSeconds: 8,
    warmUpSeconds: 3,
    warmUpFills: 12,
    bigBlobs: { 1: 20, 16: 64, 64: 64 },
    coldRounds: 24,
    fillRounds: 12,
    firstBytes: 120,
    steadySeconds: 4,
    slowReaderSeconds: 20,
    stored: 100_000,
    starts: 5,
    diskSpace: 52 * 1024 * mebibyte,
  },
  short: {
    name: 'short',
    rounds: 2,
    byteRounds: 4,
    seconds: 1,
    slowSeconds: 1,
    workerStarts: 1,
    spreadSeconds: 1,
    warmUpSeconds: 1,
    warmUpFills: 1,
    bigBlobs: { 1: 8, 16: 16, 64: 64 },
    coldRounds: 1,
    fillRounds: 1,
    firstBytes: 20,
    steadySeconds: 2,
    slowReaderSeconds: 2,
    stored: 10_000,
    starts: 2,
    diskSpace: 20 * 1024 * mebibyte,
  },
}
