package main

import (
	"crypto/rand"
	"encoding/hex"
	"os"
)

// unique tells runs of one second apart.
func unique() string {
	var b [3]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// staticBinary is this program, for targets to keep, when it was built so that it
// runs anywhere: without an interpreter of dynamic libraries.
func staticBinary() (string, bool) {
	path, err := os.Executable()
	if err != nil {
		return "", false
	}
	return path, isStatic(path)
}
