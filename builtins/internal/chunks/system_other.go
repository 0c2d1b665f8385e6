//go:build !linux

package chunks

import "os"

func uncache(*os.File, int64, int64) error { return nil }
