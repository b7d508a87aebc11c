// Reads one assertion per line, answers each with `accepted SUBJECT` or `refused`.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
)

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if token, err := Caller(context.Background(), lines.Text()); err == nil {
			fmt.Println("accepted", token.Subject)
		} else {
			fmt.Println("refused")
		}
	}
}
