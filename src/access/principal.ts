/** Who calls. `name` stands in log lines; users of access keys and of the password file never share an ARN. */
export type Principal = Anonymous | KeyUser | PasswordUser

export type Anonymous = { readonly kind: 'anonymous'; readonly name: 'anonymous' }

/** `keyId` is the access key that proved it. */
export type KeyUser = User & { readonly kind: 'key'; readonly keyId: string }

export type PasswordUser = User & { readonly kind: 'password' }

type User = {
  readonly name: string
  /** What policies call the user. */
  readonly arn: string
  readonly accountId: string
}

export const anonymous: Anonymous = { kind: 'anonymous', name: 'anonymous' }

/** `key.user` and `username` have passed `isUserName`. */
export function keyUser(accountId: string, key: { id: string; user: string }): KeyUser {
  return { kind: 'key', keyId: key.id, ...user(accountId, key.user) }
}

/** Users of the password file have a path of their own, so that none of them can be named like an access key's. */
export function passwordUser(accountId: string, username: string): PasswordUser {
  return { kind: 'password', ...user(accountId, `htpasswd/${username}`) }
}

/** https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html#reference_iam-quotas-names */
export const isUserName = (text: string): boolean => /^[\w+=,.@-]{1,64}$/.test(text)

function user(accountId: string, path: string): User {
  return { name: `user/${path}`, arn: `arn:aws:iam::${accountId}:user/${path}`, accountId }
}
