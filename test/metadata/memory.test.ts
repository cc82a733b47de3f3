import { MemoryMetadata } from '../../src/metadata/memory.ts'
import { metadataContract } from '../contracts/metadata.ts'

metadataContract('MemoryMetadata', async () => new MemoryMetadata())
