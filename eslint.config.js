// Lint: typescript-eslint's strict, type-checked rules, and the direction of imports (docs/architecture.md).
import tseslint from 'typescript-eslint'

const stages = ['kernels', 'image', 'machine', 'probe', 'wire', 'cluster', 'agent', 'monitor', 'expect', 'report']

/** Forbids imports by glob, with the reason. */
const forbid = (files, group, message, ignores = []) => ({ files, ignores, rules: { 'no-restricted-imports': ['error', { patterns: [{ group, message }] }] } })

const folders = (names) => names.flatMap((name) => [`**/${name}/**`, `../${name}`])

export default tseslint.config(
  { ignores: ['node_modules/', '.kernelbed/', 'eslint.config.js', 'dist/'] },
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true, allowNullish: true }],
      '@typescript-eslint/no-confusing-void-expression': 'off',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/no-unnecessary-condition': 'off',
      '@typescript-eslint/no-empty-function': 'off',
      '@typescript-eslint/no-invalid-void-type': 'off',
      '@typescript-eslint/no-unnecessary-type-parameters': 'off',
      // The generated Kubernetes client's classes are plain data, written as literals.
      '@typescript-eslint/no-unsafe-class-instance-assignment': 'off',
      '@typescript-eslint/no-misused-spread': 'off',
    },
  },
  forbid(['src/core/**/*.ts'], folders([...stages, 'run']), 'core imports nothing else of the project'),
  ...stages.map((stage, i) =>
    forbid([`src/${stage}/**/*.ts`], [...stages.slice(i + 1).flatMap((later) => [`../${later}/**`]), '../run/**', '**/agent/src/**', '**/fixtures/**', '**/suites/**'], `src/${stage} may import core and earlier stages only`),
  ),
  forbid(['agent/**/*.ts'], ['**/src/core/**', '../../src/**', '../src/kernels/**', '**/fixtures/**', '**/suites/**'], 'agent/ imports nothing of src/'),
  forbid(['suites/**/*.ts'], ['../src/**', '../agent/**', '../scripts/**'], 'suites import only from fixtures/'),
  {
    // A test that does not run must say which feature of the kernel it lacks, and the probe must agree: needs() in fixtures/needs.ts.
    files: ['suites/**/*.ts'],
    rules: {
      'no-restricted-syntax': ['error',
        { selector: 'MemberExpression[property.name=/^(skip|skipIf|runIf|todo|fails)$/]', message: 'name the feature that the test needs: needs(…); the probe decides' },
        { selector: 'ObjectPattern > Property[key.name="skip"]', message: 'name the feature that the test needs: needs(…); the probe decides' },
        { selector: 'ObjectExpression > Property[key.name=/^(skip|todo|fails)$/]', message: 'name the feature that the test needs: needs(…); the probe decides' },
      ],
    },
  },
  forbid(['fixtures/**/*.ts'], ['../suites/**', '../agent/src/**', '../scripts/**'], 'fixtures import only from src/'),
)
