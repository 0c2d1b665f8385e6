// Package noconfig keeps a library from making a folder.
//
// rclone looks for its configuration when it is initialised, and makes ~/.config/rclone
// where there is none; runner never reads it. A package that imports only syscall is
// initialised before it; when somebody named a configuration, it makes none.
package noconfig

import "syscall"

func init() {
	if _, set := syscall.Getenv("RCLONE_CONFIG"); !set {
		syscall.Setenv("RCLONE_CONFIG", "")
	}
}
