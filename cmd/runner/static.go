package main

import (
	"bytes"
	"debug/elf"
	"os"
)

// isStatic reports whether a program needs no dynamic linker.
func isStatic(path string) bool {
	f, err := elf.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return false
		}
	}
	return true
}

// buildID names the binary by the hashes that the Go linker put into it. Hashing
// the file at every start would cost more than most verbs do.
func buildID() string {
	path, err := os.Executable()
	if err != nil {
		return ""
	}
	f, err := elf.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	s := f.Section(".note.go.buildid")
	if s == nil {
		return ""
	}
	data, err := s.Data()
	if err != nil || len(data) < 16 {
		return ""
	}
	return "go:" + string(bytes.TrimRight(data[16:], "\x00"))
}
