package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func manCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use: "man DIR", Short: "write man pages into a folder", Args: oneArg("DIR"),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return fmt.Errorf("make folder for man pages: %w", err)
			}
			return doc.GenManTree(root, &doc.GenManHeader{Title: "RUNNER", Section: "1", Source: "runner " + version}, args[0])
		},
	}
}
