// Command runner-cloud is the engine of the stores that runner itself has not linked in:
// S3 and its likes, Backblaze B2, Azure, Google, Dropbox and others. runner finds it
// beside itself or in PATH, and speaks with it as with its own engines; a target names it
// with cloud:///FOLDER and a login of that kind, which runner cloud import takes from an
// rclone.conf.
//
// It is a program of its own for its size. One more backend is one more line here. FTP and
// SFTP are left out: their backends check no certificate, or no host key, unless told to;
// runner has SFTP of its own.
package main

import (
	"fmt"
	"os"

	_ "github.com/rclone/rclone/backend/azureblob"
	_ "github.com/rclone/rclone/backend/b2"
	_ "github.com/rclone/rclone/backend/box"
	_ "github.com/rclone/rclone/backend/drive"
	_ "github.com/rclone/rclone/backend/dropbox"
	_ "github.com/rclone/rclone/backend/googlecloudstorage"
	_ "github.com/rclone/rclone/backend/pcloud"
	_ "github.com/rclone/rclone/backend/s3"
	_ "github.com/rclone/rclone/backend/swift"

	"github.com/neosofia/runner/builtins/cloudstore"
)

func main() {
	if len(os.Args) != 2 || os.Args[1] != cloudstore.EngineVerb {
		fmt.Fprintln(os.Stderr, "runner-cloud is started by runner; see: runner help cloud")
		os.Exit(2)
	}
	os.Exit(cloudstore.Engine())
}
