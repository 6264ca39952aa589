"""What engines that write down recordings share: the text of a call, and the loop that reads windows of several."""
