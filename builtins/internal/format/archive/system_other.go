//go:build !linux

package archive

import (
	"errors"
	"os"
	"time"
)

// errNoNode is the error where nodes cannot be made.
var errNoNode = errors.New("pipes and devices are restored on Linux only")

func makeNode(*os.File, string, entry) error { return errNoNode }

func setAttribute(*os.File, string, []byte) error {
	return errors.New("attributes are restored on Linux only")
}

// linkTimes leaves the times of a symbolic link as they are: nothing that runs
// depends on them.
func linkTimes(*os.File, string, time.Time, time.Time) error { return nil }
