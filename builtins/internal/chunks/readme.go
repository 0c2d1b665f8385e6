package chunks

import "github.com/neosofia/runner/builtins/internal/target"

// ReadmeCommands is how the files come back without runner. A test of kopia's own program runs every line.
const ReadmeCommands = target.KopiaCommands
