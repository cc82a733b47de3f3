import { MemoryStore } from '../../src/blobs/memory.ts'
import { blobStoreContract } from '../contracts/blob-store.ts'

blobStoreContract(async () => new MemoryStore())
