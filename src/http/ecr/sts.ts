import type { Signer } from '../auth.ts'
import { AwsError } from './errors.ts'

const namespace = 'https://sts.amazonaws.com/doc/2011-06-15/'

/** The one operation of STS that scripts begin with: who am I? Nobody needs a right to ask that. */
export function answerSts(body: Uint8Array, { caller }: Signer, requestId: string): string {
  const action = new URLSearchParams(Buffer.from(body).toString()).get('Action')
  if (action !== 'GetCallerIdentity') throw new AwsError('InvalidAction', 'Only GetCallerIdentity is answered here')
  const { principal } = caller
  const [arn, account] = 'arn' in principal ? [principal.arn, principal.accountId] : ['', '']
  return (
    `<GetCallerIdentityResponse xmlns="${namespace}"><GetCallerIdentityResult>` +
    `<Arn>${escaped(arn)}</Arn><UserId>${escaped(principal.name)}</UserId><Account>${escaped(account)}</Account>` +
    `</GetCallerIdentityResult><ResponseMetadata><RequestId>${requestId}</RequestId></ResponseMetadata>` +
    '</GetCallerIdentityResponse>'
  )
}

export const stsError = ({ code, message, status }: AwsError, requestId: string): string =>
  `<ErrorResponse xmlns="${namespace}"><Error><Type>${status < 500 ? 'Sender' : 'Receiver'}</Type>` +
  `<Code>${escaped(code)}</Code><Message>${escaped(message)}</Message></Error>` +
  `<RequestId>${requestId}</RequestId></ErrorResponse>`

const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&apos;' }

const escaped = (text: string): string => text.replace(/[&<>"']/g, (char) => entities[char] ?? char)
