// An app that gives the answers of a folder: `replay CASES ANSWERS`.

#include <iostream>
#include "onenet_cases.hpp"
int main(int, char** words) {
  const std::string right = words[1], answers = words[2];
  std::vector<std::string> names = {"smaller", "larger", "whole"};
  std::string name;
  onenet_cases::App app;
  app.preprocess = [&](const onenet_cases::Bytes&, int, int) {
    name = names.back();
    names.pop_back();
    return onenet_cases::read(answers + "/" + name + ".input.bin");
  };
  app.run = [&](const onenet_cases::Bytes&) { return std::vector<onenet_cases::Bytes>{onenet_cases::read(answers + "/" + name + ".output0.bin")}; };
  app.labels = [&](const std::vector<onenet_cases::Bytes>&, int, int) { return onenet_cases::read(answers + "/" + name + ".labels.bin"); };
  for (const std::string& line : onenet_cases::check(app, right)) std::cout << line << "\n";
}
