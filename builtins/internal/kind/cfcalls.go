package kind

import (
	"errors"

	"github.com/neosofia/runner/builtins/internal/format/ruleset"
)

func cloudflareCalls(*ruleset.Document) ([]string, error) { return nil, errors.New("not known yet") }
