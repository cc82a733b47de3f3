import { inspect } from 'node:util'
import { describe, expect, it } from 'vitest'
import type { Credential, Credentials } from '../../src/credentials/credentials.ts'

export type CredentialsUnderTest = {
  credentials: Credentials
  /** Changes the credential at its source. */
  rotate(credential: Credential): Promise<void>
  /** Makes the source unreadable, with the password somewhere in it if that is possible. */
  spoil(): Promise<void>
}

export const user: Credential = { username: 'user', password: 'canary: with a colon' }

/** What every source of credentials promises; it holds `user` at first. */
export function credentialsContract(name: string, open: () => Promise<CredentialsUnderTest>): void {
  describe(name, () => {
    it('gives the credential, to any number at once', async () => {
      const subject = await open()
      const { credentials } = subject
      expect(await Promise.all([credentials.get(), credentials.get(), credentials.get()])).toEqual([user, user, user])
    })

    it('still gives it after it was refused, if the source has no other', async () => {
      const subject = await open()
      subject.credentials.reject(user)
      await subject.credentials.get()
      subject.credentials.reject(user)
      expect(await subject.credentials.get()).toEqual(user)
    })

    it('C53: asks the source anew once the credential was refused', async () => {
      const subject = await open()
      const next = { username: 'user', password: 'canary two' }
      const old = await subject.credentials.get()
      await subject.rotate(next)
      if (old) subject.credentials.reject(old)
      expect(await subject.credentials.get()).toEqual(next)
    })

    it('is unavailable while the source cannot be read, without a word of secrets, and then recovers', async () => {
      const subject = await open()
      await subject.spoil()
      const error = await subject.credentials.get().catch((caught: unknown) => caught)
      expect(error).toMatchObject({ kind: 'unavailable' })
      expect(inspect(error, { depth: 9 })).not.toContain('canary')
      await subject.rotate(user)
      expect(await subject.credentials.get()).toEqual(user)
    })
  })
}
