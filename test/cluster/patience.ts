/** Sets Jest's timeout for suites on servers: long enough that a slow machine never reaches it, only a hanging test. */
jest.setTimeout(600_000);
