//go:build !linux

package target

import "os"

func advise(*os.File) error                       { return nil }
func sequential(descriptor) error                 { return nil }
func startWriteback(*os.File, int64, int64) error { return nil }
func letGo(*os.File, int64, int64) error          { return nil }
func forget(*os.File, int64, int64) error         { return nil }
func reserve(*os.File, int64, int64) error        { return nil }
