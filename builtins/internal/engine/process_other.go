//go:build !linux

package engine

import (
	"errors"
	"net"
	"os"
	"os/exec"
)

const self = ""

var errHere = errors.New("engines run on Linux alone")

func pair() (net.Conn, *os.File, error) { return nil, nil, errHere }

func opened(f *os.File) string { return f.Name() }

func keepApart() error { return nil }

func confine(*exec.Cmd, bool) {}

// Main is the whole life of a child: what the verb calls.
func Main(Open) error { return errHere }
