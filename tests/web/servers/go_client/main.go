// Ask a server with the Go client go-openai; print what came back as JSON.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	openai "github.com/sashabaranov/go-openai"
)

func main() {
	config := openai.DefaultConfig(os.Args[2])
	config.BaseURL = os.Args[1]
	client := openai.NewClientWithConfig(config)
	background := context.Background()
	request := openai.ChatCompletionRequest{
		Model:         "m",
		Messages:      []openai.ChatCompletionMessage{{Role: "user", Content: "Grüße 日本"}},
		StreamOptions: &openai.StreamOptions{IncludeUsage: true},
	}
	told := map[string]any{}

	stream, err := client.CreateChatCompletionStream(background, request)
	if err != nil {
		var failed *openai.APIError
		errors.As(err, &failed)
		fmt.Printf(`{"status": %d, "message": %q}`, failed.HTTPStatusCode, failed.Message)
		return
	}
	streamed := ""
	for {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			panic(err)
		}
		for _, choice := range chunk.Choices {
			streamed += choice.Delta.Content
		}
		if chunk.Usage != nil {
			told["usage"] = chunk.Usage.TotalTokens
		}
	}
	told["streamed"] = streamed

	request.StreamOptions = nil
	whole, err := client.CreateChatCompletion(background, request)
	if err != nil {
		panic(err)
	}
	told["whole"] = whole.Choices[0].Message.Content

	models, err := client.ListModels(background)
	if err != nil {
		panic(err)
	}
	told["model"] = models.Models[0].ID
	json.NewEncoder(os.Stdout).Encode(told)
}
