/** For suites on servers: the time-out of jest ends what hangs and measures nothing, so a slow machine never meets it. */
jest.setTimeout(600_000);
