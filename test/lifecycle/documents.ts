/** Parts of policies as users write them. */
export const rule = (rulePriority: number, selection: object, rest: object = {}) => ({
  rulePriority,
  selection,
  action: { type: 'expire' },
  ...rest,
})

export const documentOf = (...rules: object[]): string => JSON.stringify({ rules })

export const keep = (countNumber: number) => ({ countType: 'imageCountMoreThan', countNumber })
export const pushed = (countNumber: number) => ({ countType: 'sinceImagePushed', countUnit: 'days', countNumber })
export const pulled = (countNumber: number) => ({ countType: 'sinceImagePulled', countUnit: 'days', countNumber })

export const any = { tagStatus: 'any' }
export const untagged = { tagStatus: 'untagged' }
export const prefixes = (...tagPrefixList: string[]) => ({ tagStatus: 'tagged', tagPrefixList })
export const patterns = (...tagPatternList: string[]) => ({ tagStatus: 'tagged', tagPatternList })
