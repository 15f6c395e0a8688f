"""The command line: `app` has the verbs, `console` what is shown while they run, `tables` what `describe` prints."""
